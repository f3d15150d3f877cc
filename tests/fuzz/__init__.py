"""Structure-aware fuzzing: files that are almost right, and a judgement of what was made of them.

`target` says what a target is, `campaign` feeds inputs to a target within limits, `store` keeps the
inputs that led to findings, and every module of `targets` is one target. The test run tries a few
inputs of each target. Longer:

    python -m tests.fuzz --minutes 20 --reader brat
"""
