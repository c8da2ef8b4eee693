"""The words of the domain: frozen values, statuses, events, effects, ids and errors.  No I/O."""
