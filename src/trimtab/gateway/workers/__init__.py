"""Several gateway processes behind one port: started, watched, replaced without losing a request."""

from trimtab.gateway.workers.supervisor import Supervisor, WorkerEvent
from trimtab.gateway.workers.worker import WorkerLink, worker_arguments

__all__ = ["Supervisor", "WorkerEvent", "WorkerLink", "worker_arguments"]
