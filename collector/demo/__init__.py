"""`quarkpulse-collector demo`: a collector, two real agents and one real incident on this machine."""
