"""The client in the training process: a log call of about a microsecond, a flight recorder, a sender thread."""

from producer.client import Producer

__all__ = ["Producer"]
