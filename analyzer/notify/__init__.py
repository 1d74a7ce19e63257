"""Alerts as messages to people: mail, chat, telephone, desktop, whatever apprise knows.

The files of alerts are the queue: a thread of the analyzer's process reads them, as any reader would, so nothing is lost
while a receiver is down or the analyzer is not there, and nothing here can hold the analysis up. What was read, what is
waiting and what was told lies in `.avaliacoes/notify_state.json`.

    settings   what stands in `[notify]` of the configuration, checked
    groups     which alerts are told when, and why (pure)
    message    a group as title and text (pure)
    outbox     messages on their way, their tries and pauses (pure)
    targets    the receivers, by apprise
    state      what is remembered over a restart
    notifier   the thread
"""
