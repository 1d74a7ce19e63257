"""What `avaliacoes top` shows in a terminal.

`text` (data as harmless text of a known width), `history` (a metric's course in constant memory), `follow` (one data file),
`runs` (what is known of one run, and of all), `frame` (that as lines, pure), `detail` (one run as lines, pure), `screen` (the terminal: keys, size, drawing).
"""
