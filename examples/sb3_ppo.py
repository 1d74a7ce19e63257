"""Stable-Baselines3: one callback logs training metrics, gradients before clipping, episodes and speed.

pip install 'avaliacoes[sb3]'
"""

from __future__ import annotations

import argparse

from stable_baselines3 import PPO

from avaliacoes.logger_integration import create_integrated_logger
from avaliacoes.real_time_monitor import create_monitor


def main() -> None:
    parser = argparse.ArgumentParser(description="PPO on CartPole-v1, watched live.")
    parser.add_argument("--timesteps", type=int, default=50_000, help="environment steps (default: %(default)s)")
    parser.add_argument("--base-path", default=None, help="data folder (default: avaliacoes, or $AVALIACOES_DIR)")
    parser.add_argument("--monitor", action="store_true", help="draw the dashboard too")
    options = parser.parse_args()

    integration = create_integrated_logger(options.base_path)
    session = integration.start_session("ppo")
    monitor = create_monitor(log_path=options.base_path) if options.monitor else None
    if monitor is not None:
        monitor.start_monitoring(session)

    model = PPO("MlpPolicy", "CartPole-v1", seed=1, device="cpu")
    model.learn(total_timesteps=options.timesteps, callback=integration.create_sb3_callback())

    integration.end_session()
    if monitor is not None:
        print(f"report: {monitor.export_analysis_report()}")
        monitor.stop_monitoring()
    stats = integration.get_current_stats()
    print(f"session {session}: {stats['persisted']} of {stats['logged']} records on disk in {integration.base_path}")


if __name__ == "__main__":
    main()
