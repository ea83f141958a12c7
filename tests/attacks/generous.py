"""`mediq up` with limits that no test reaches: `python -m tests.attacks.generous`."""

from edge import settings
from edge.settings import Bucket, Rates
from ops.cli.up import up

PLENTY = Bucket(1_000_000, 1_000_000)

if __name__ == "__main__":
    settings.DEFAULT_RATES = {rate: Rates(PLENTY, PLENTY) for rate in settings.DEFAULT_RATES}
    up()
