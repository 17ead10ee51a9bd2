"""The worker process, its messages, and the jobs that it is asked for."""
