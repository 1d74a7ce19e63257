"""The live page's files: what `docs/decisions/0008-page-files.md` describes, from records to scripts.

`buckets` (rows of numbers and how they are joined), `pyramid` (a series as buckets), `blocks` (buckets on the wire), `model` (one session in bounded memory), `describe` (the model as plain data),
`writer` and `tiles` (the files of one session), `runs` (the line per session for the page of all), `window` (real records of a window, for a server).
"""
