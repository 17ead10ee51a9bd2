"""How the bundled weights were made, end to end."""
