"""The data-plane core: snapshot, assignment, rendering, journal. No I/O on the request path."""
