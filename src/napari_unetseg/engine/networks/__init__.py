"""Networks, their files, and faster forms of them."""
