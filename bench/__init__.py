"""Measures CrypRQ, judges it, compares builds and reports; scripts/benchmark.sh is the way to call it."""
