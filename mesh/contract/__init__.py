"""What the contracts say of each call, as Python values and checks."""
