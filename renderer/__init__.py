"""The renderer: tails the data files of a folder and keeps one page per session and one for all, and writes the report.

`gather` (records to columns), `reading` (what the files of a session have gained), `live` (the files that an open page reads), `page` (the
page itself), `loop` (which sessions, when), `series`, `session` and `panels` (a session as report and pictures look at it), `report` and
`drawing` (the report and its charts), `wording` (numbers for people), `fallback` (pictures, without plotly).
"""
