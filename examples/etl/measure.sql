-- One row of facts for quality.py.

SELECT (SELECT count(*) FROM flights) AS flights,
       (SELECT sum(flights) FROM daily_delays) AS flights_by_day,
       (SELECT count(DISTINCT day) FROM daily_delays) AS days,
       (SELECT count(*) FROM flights WHERE carrier NOT IN (SELECT carrier FROM airlines)) AS unknown_carriers,
       (SELECT count(*) FROM daily_delays WHERE late + cancelled > flights) AS impossible_days,
       (
           SELECT count(*)
           FROM flights AS f
           WHERE NOT EXISTS (SELECT 1 FROM weather AS w WHERE w.origin = f.origin AND w.hour = f.hour)
       ) AS without_weather;
