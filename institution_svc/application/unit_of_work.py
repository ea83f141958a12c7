"""Units of work on the facilities."""

from sqlalchemy.orm import Session

from institution_svc.persistence.facility_repository import FacilityRepository
from mesh.unit_of_work import IdempotentUnitsOfWork


class UnitsOfWork(IdempotentUnitsOfWork[FacilityRepository]):
    """Opens the repository for use cases."""

    def open(self, session: Session) -> FacilityRepository:
        return FacilityRepository(session)
