"""What the processes must agree on, and nothing else.

A line may live here only if two processes must agree on it: names and limits (`names`), where things
lie (`places`, `folder`), bytes on the wire (`wire`), lines on disk (`lines`, `tail`), the flight recorder and the spool
(`blocks`), the life of a session (`lifecycle`), alerts (`alerts`), how a service starts, is found and
ends (`service`), and the settings several of them read (`settings`).
"""

__version__ = "0.1.0"
