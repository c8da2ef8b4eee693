"""The public form of workflows and their versions (specification 1.1)."""

from __future__ import annotations

from typing import Any

import msgspec

from maestro_py.api.responses import present
from maestro_py.api.views.rendered import prepare, workflow_json
from maestro_py.model.forms import trigger_document
from maestro_py.ports.api_records import (
    Overview,
    SubscriptionRecord,
    TimelineRecord,
    VersionRecord,
    WorkflowRecord,
    WorkflowSummary,
)


async def prepare_version(version: VersionRecord) -> None:
    """Have ready what `version_document` shows of a large definition."""
    await prepare(version.definition_uid, version.definition, "workflow")


def version_document(version: VersionRecord) -> dict[str, Any]:
    """Return a WorkflowDefinition."""
    workflow = version.owner
    active = version.is_active
    return present(
        properties_snapshot=properties_document(workflow),
        metadata=version.metadata,
        workflow=workflow_json(version.definition_uid, version.definition),
        is_active=active,
        activate_time=version.activate_time_ms if active else None,
        activated_by=version.activated_by if active else None,
        is_latest=version.workflow_version == workflow.latest_version,
        is_default=version.workflow_version == workflow.default_version,
        internal_id=workflow.internal_id,
        modify_time=workflow.modify_time_ms,
    )


def properties_document(workflow: WorkflowRecord) -> dict[str, Any]:
    """Return a PropertiesSnapshot; an owner with more than a name is an object (specification 0)."""
    properties = dict(workflow.properties)
    info = properties.pop("owner_info", None)
    if info:
        properties["owner"] = {"name": properties.get("owner"), **info}
    return {"workflow_id": workflow.workflow_id, **properties}


def overview_document(overview: Overview) -> dict[str, Any]:
    """Return the overview of a workflow."""
    workflow = overview.workflow
    return present(
        workflow_id=workflow.workflow_id,
        active_version_id=workflow.active_version,
        latest_version_id=workflow.latest_version,
        default_version_id=workflow.default_version,
        properties_snapshot=properties_document(workflow),
        step_concurrency=workflow.properties.get("step_concurrency"),
        nonterminal_instances=overview.nonterminal,
        failed_instances=overview.failed,
        latest_instance_id=workflow.last_instance_id or None,
    )


def timeline_document(workflow_id: str, lines: list[TimelineRecord]) -> dict[str, Any]:
    """Return the history of a workflow."""
    events = [{"author": line.author, "log": line.log, "timestamp": line.create_time_ms} for line in lines]
    return {"workflow_id": workflow_id, "timeline_events": events}


def subscription_document(subscription: SubscriptionRecord) -> dict[str, Any]:
    """Return a signal trigger that listens (ours)."""
    return {
        "trigger_uuid": subscription.trigger_uuid,
        "signal": subscription.signal,
        "trigger": trigger_document(subscription.trigger),
        "next_signal_id": subscription.next_seq,
        "dropped": msgspec.to_builtins(subscription.drops.counts),
        "latest_dropped": msgspec.to_builtins(subscription.drops.latest),
    }


def summary_document(summary: WorkflowSummary) -> dict[str, Any]:
    """Return one line of the list of workflows (ours)."""
    workflow = summary.workflow
    run = None
    if summary.instance_id is not None:
        run = present(
            workflow_instance_id=summary.instance_id,
            workflow_run_id=summary.run_id,
            status=summary.status,
            create_time=summary.create_time_ms,
            start_time=summary.start_time_ms,
            end_time=summary.end_time_ms,
        )
    return present(
        workflow_id=workflow.workflow_id,
        active_version_id=workflow.active_version,
        latest_version_id=workflow.latest_version,
        owner=workflow.properties.get("owner"),
        latest_run=run,
    )
