"""A self-test of the device: every formulation compared with float64 arithmetic on the host."""
