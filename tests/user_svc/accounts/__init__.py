"""Tests of accounts: staff and patients, who reaches them, what is corrected and erased."""
