"""What a flow is before any framework: its architecture, Gaussian base, index tables and initial weights."""
