"""
Run the migrations on the connection that `maestro_py.storage.migrate` hands over.

There is no ``alembic.ini``: the address of the database comes from MAESTRO_DATABASE_URL or from `maestro up`.
"""

from alembic import context

from maestro_py.storage.migrate import is_of_the_metadata
from maestro_py.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_server_default=True,
    include_name=is_of_the_metadata,
)
with context.begin_transaction():
    context.run_migrations()
