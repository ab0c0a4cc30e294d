"""A conversation with a net at the terminal: a language of lines, pictures as a terminal's bytes, a thin prompt."""
