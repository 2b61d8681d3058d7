"""What the end-to-end tests are made of: the gate under test and the world around it.

Only the standard library. Everything listens on loopback ports that the system chose, and every
wait has a deadline.
"""
