"""An application with the SDK inside, told to record for ever: `writer.py DIRECTORY FEATURE ACKNOWLEDGED SEED`.

Writes to ACKNOWLEDGED the ids of events that Trimtab said are durable, and none before it said so.
"""

from __future__ import annotations

import os
import random
import sys
import time

from trimtab import StorageError, Trimtab

_BATCH = 10
_PAUSE_SECONDS = 0.05


def main() -> None:
    """Record until killed."""
    directory, feature, acknowledged, seed = sys.argv[1:]
    told = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    seeded = random.Random(f"{seed}{os.getpid()}")
    with Trimtab(directory) as tt:
        waiting: list[str] = []
        while True:
            for _ in range(_BATCH):
                rendered = tt.render(feature, unit=f"batch-{seeded.randrange(10**9)}", variables={"shop": "Acme"})
                answer = '{"answer": "On its way.", "order_id": "A-1", "next_step": "none"}'
                waiting.append(tt.record(rendered, output=answer, usage={"input_tokens": 90, "output_tokens": 20}))
            try:
                tt.flush(2.0)
                waiting.append(tt.feedback(waiting[-1], "resolved", 1.0))  # durable too
            except StorageError as error:
                if error.code in {"events_dropped", "not_recorded"}:
                    waiting.clear()  # whichever were not taken: none of them was acknowledged
                time.sleep(0.1)  # a full disk: nothing is acknowledged until it is durable
                continue
            os.write(told, "".join(f"{one}\n" for one in waiting).encode())
            waiting.clear()
            time.sleep(_PAUSE_SECONDS * seeded.uniform(0.5, 1.5))


if __name__ == "__main__":
    main()
