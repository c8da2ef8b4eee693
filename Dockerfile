# One image for every process: what runs is the command.
FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml setup.py MANIFEST.in constraints.txt README.md LICENSE ./
COPY src src
COPY alembic alembic
RUN pip wheel --no-cache-dir -c constraints.txt --wheel-dir /wheels .

FROM python:3.11-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-index --find-links /wheels maestro-py && rm -rf /wheels \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin maestro
USER 10001
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["maestro"]
CMD ["--help"]
