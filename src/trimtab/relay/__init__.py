"""Connects the data planes of a machine to a control plane on another one."""
