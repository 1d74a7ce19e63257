"""The renderer: tails the data files of a folder and keeps one page per session, and writes the report.

`series` (bounded history of one metric), `session` (what is known of one session), `gather` (records to columns), `panels` (session to plain data), `page` (plain data
to files), `loop` (which sessions, when), `report` and `drawing` (the report and its charts), `fallback` (without plotly).
"""
