"""What tests/bench/run is made of: the tools it measures with, the relays it measures, the rows."""
