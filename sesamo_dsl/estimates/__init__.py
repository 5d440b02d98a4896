"""Numbers with errors: samples, chains, exact values, and the checks that say which to believe."""
