"""Parts that the widgets share: fields, pickers, bars, and the job of segmenting a layer."""
