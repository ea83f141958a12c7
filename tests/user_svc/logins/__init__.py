"""Tests of logins: with passwords, one-time codes, NIK and name."""
