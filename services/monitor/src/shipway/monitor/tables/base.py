"""What the monitor's tables share."""

import sqlalchemy as sa

metadata = sa.MetaData()
TIME = sa.DateTime(timezone=True)
