"""Short real trainings, healthy and sabotaged, logged through this project's own integration.

python -m benchmarks.corpus_runs --out DIR [--only NAME] [--seeds 11 23]

Each run is one small function beside a sentence that says what is wrong with it. What a run *is* is not decided by its
name: `outcome` looks at what became of it, and a run that did not turn out as meant is labelled "ambiguous".
Needs torch, stable-baselines3 and sb3-contrib.
"""
