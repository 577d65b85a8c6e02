"""What runs inside the machine: the agent that finds a job in its inbox, runs the tasks and writes raw data.

Standard library only; the folder is copied into the image as it is and started with ``python3 -m pyti.guest.agent``.
The walk of a job: ``agent`` (polls the inbox) → ``job`` (reads ``job.json``) → ``graph`` (which tasks, in which order)
→ ``runner`` (one task after the other) → ``tasks`` (what each task does) → ``phase`` (one process tree under limits and
tracing) → ``outbox`` (records and streams) → ``follower`` (sends them out while they grow).
``control`` gives a fresh clone its identity; ``warmup`` does before the snapshot what no clone should have to do.
"""

__all__: list[str] = []
