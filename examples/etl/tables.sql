-- The tables of the warehouse, in the words that SQLite and PostgreSQL share.

CREATE TABLE IF NOT EXISTS flights (
    day              TEXT NOT NULL,   -- YYYY-MM-DD, at the airport
    hour             TEXT NOT NULL,   -- of the scheduled departure, UTC; also the key of the weather
    origin           TEXT NOT NULL,
    destination      TEXT NOT NULL,
    carrier          TEXT NOT NULL,
    departure_delay  INTEGER,         -- minutes; NULL: the flight was cancelled
    arrival_delay    INTEGER,         -- minutes; NULL: it was cancelled or diverted
    miles            INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS weather (
    hour        TEXT NOT NULL,
    origin      TEXT NOT NULL,
    wind        DOUBLE PRECISION,     -- miles per hour
    rain        DOUBLE PRECISION,     -- inches
    visibility  DOUBLE PRECISION      -- miles
);

CREATE INDEX IF NOT EXISTS weather_by_hour ON weather (origin, hour);

CREATE TABLE IF NOT EXISTS airlines (carrier TEXT PRIMARY KEY, name TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS daily_delays (
    day        TEXT NOT NULL,
    origin     TEXT NOT NULL,
    flights    INTEGER NOT NULL,
    cancelled  INTEGER NOT NULL,
    late       INTEGER NOT NULL,
    rain       DOUBLE PRECISION,      -- the most in one hour
    PRIMARY KEY (day, origin)
);

CREATE TABLE IF NOT EXISTS wind_delays (
    wind     TEXT PRIMARY KEY,
    flights  INTEGER NOT NULL,
    late     INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS carrier_delays (
    carrier  TEXT PRIMARY KEY,
    name     TEXT NOT NULL,
    flights  INTEGER NOT NULL,
    late     INTEGER NOT NULL
);
