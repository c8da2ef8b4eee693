-- What is asked of the warehouse, computed anew.  One transaction: nobody sees it half done, and a second run does it
-- again.  :late_minutes is a parameter of the step.

DELETE FROM daily_delays;

INSERT INTO daily_delays (day, origin, flights, cancelled, late, rain)
SELECT f.day,
       f.origin,
       count(*),
       sum(CASE WHEN f.departure_delay IS NULL THEN 1 ELSE 0 END),
       sum(CASE WHEN f.arrival_delay > :late_minutes THEN 1 ELSE 0 END),
       max(w.rain)
FROM flights AS f
LEFT JOIN weather AS w ON w.origin = f.origin AND w.hour = f.hour
GROUP BY f.day, f.origin;

DELETE FROM wind_delays;

INSERT INTO wind_delays (wind, flights, late)
SELECT CASE
           WHEN w.wind < 10 THEN '00-10 mph'
           WHEN w.wind < 20 THEN '10-20 mph'
           WHEN w.wind < 30 THEN '20-30 mph'
           ELSE '30 mph and more'
       END AS range_of_wind,
       count(*),
       sum(CASE WHEN f.arrival_delay > :late_minutes THEN 1 ELSE 0 END)
FROM flights AS f
JOIN weather AS w ON w.origin = f.origin AND w.hour = f.hour
WHERE w.wind IS NOT NULL AND f.arrival_delay IS NOT NULL
GROUP BY range_of_wind;

DELETE FROM carrier_delays;

INSERT INTO carrier_delays (carrier, name, flights, late)
SELECT a.carrier, a.name, count(*), sum(CASE WHEN f.arrival_delay > :late_minutes THEN 1 ELSE 0 END)
FROM flights AS f
JOIN airlines AS a ON a.carrier = f.carrier
GROUP BY a.carrier, a.name;
