"""The same pages over HTTP, for people who cannot open a file on the trainer's machine.

`routes` (which addresses exist, and which file each one is), `checks` (who may ask), `access` (token, cookie, attempts),
`policy` (what a browser may do with an answer), `files` (opening without following links), `window` (records of a
stretch of one series), `app` (a request to an answer), `server` (sockets and deadlines, uvicorn), `settings`.
"""
