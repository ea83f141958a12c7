"""The request that tests of the pipeline send."""

from uuid import uuid4

from mediq.institution.v1 import institution_service_pb2 as requests

ID = str(uuid4())
GET = requests.GetInstitutionRequest(id=ID)
