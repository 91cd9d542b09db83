"""What perfwatch makes of measurements: requests, verdicts, recordings, reports, and the command line."""
