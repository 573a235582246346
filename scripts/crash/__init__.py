"""The parts of scripts/crash-campaign."""
