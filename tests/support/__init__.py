"""What tests share: harnesses, generators, checkers. Plain modules, no fixtures."""
