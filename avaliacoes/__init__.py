"""What users import: logger, monitor, integration, and the command line.

    from avaliacoes.real_time_logger import create_real_time_logger, RealTimeLogger, LogReader
    from avaliacoes.real_time_monitor import create_monitor, RealTimeMonitor
    from avaliacoes.logger_integration import create_integrated_logger, TrainingLoggerIntegration

Importing this package imports nothing else.
"""

from contract import __version__

__all__ = ["__version__"]
