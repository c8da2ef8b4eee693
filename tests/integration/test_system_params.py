"""What steps see of parameters, through all processes."""

from __future__ import annotations

from tests.system import System

NESTED = {
    "workflow_id": "nested",
    "params": {"day": "2026-11-24"},
    "steps": [
        {"id": "list", "type": "shell", "command": 'echo \'{"groups": [["a", "b"], ["c"]]}\' > $$MAESTRO_OUTPUT_FILE'},
        {
            "id": "group",
            "type": "foreach",
            "items": "${list.output.groups}",
            "dependencies": ["list"],
            "steps": [
                {
                    "id": "member",
                    "type": "foreach",
                    "items": "${item}",
                    "steps": [
                        {
                            "id": "say",
                            "type": "shell",
                            "params": {"text": "${day}: ${member_of}${item}"},
                            "command": 'echo "{\\"said\\": \\"$$MAESTRO_PARAM_TEXT $$MAESTRO_PARAM_DAY\\"}"'
                            " > $$MAESTRO_OUTPUT_FILE",
                        }
                    ],
                    "params": {"member_of": "group ${index} "},
                }
            ],
        },
    ],
}


def test_an_iteration_sees_what_encloses_it(system: System) -> None:
    """A step inside two foreach sees its item, the parameters of both loops, and those of the workflow."""
    system.start_all()
    system.push(NESTED)
    instance = system.start_run("nested")

    assert "SUCCEEDED" == system.wait_ended("nested", instance)
    said = system.query("SELECT outputs->>'said' FROM step_attempt WHERE step_id = 'say' ORDER BY 1")
    assert [
        ("2026-11-24: group 0 a 2026-11-24",),
        ("2026-11-24: group 0 b 2026-11-24",),
        ("2026-11-24: group 1 c 2026-11-24",),
    ] == said


def shell(step_id: str, says: str, **fields: object) -> dict[str, object]:
    """Return a step of the native form that reports the JSON *says*."""
    command = {"type": "STRING", "value": f"echo '{says}' > $$MAESTRO_OUTPUT_FILE"}
    params = {"shell": {"type": "MAP", "value": {"command": command}}, "n": {"type": "LONG", "value": 1}}
    return {"step": {"id": step_id, "type": "shell", "params": params, **fields}}


def test_outputs_are_laid_over_the_parameters_of_a_native_step(system: System) -> None:
    """What it may report is cast and seen by its edge and downstream; what it may not fails it, and says so (4.6)."""
    steps = [
        shell("a", '{"n": "41"}', transition={"successors": {"b": "n + 1 == 42", "c": "n == 1"}}),
        shell("b", '{"rows": 3}', failure_mode="IGNORE_FAILURE"),
        {"step": {"id": "c", "type": "NoOp"}},
    ]
    system.start_all()
    system.push({"properties": {"owner": "olga"}, "workflow": {"id": "outputs", "steps": steps}})
    instance = system.start_run("outputs")

    assert "FAILED" == system.wait_ended("outputs", instance)
    shown = system.steps("outputs", instance)
    assert {"a": "SUCCEEDED", "b": "INTERNALLY_FAILED", "c": "UNSATISFIED"} == {
        name: step["runtime_state"]["status"] for name, step in shown.items()
    }
    assert (41, "OUTPUT_PARAMETER") == (
        shown["a"]["params"]["n"]["evaluated_result"],
        shown["a"]["params"]["n"]["source"],
    )
    assert "Invalid output parameter [rows], not defined in params" in shown["b"]["timeline"][-1]["message"]
    assert {"rows": 3} == shown["b"]["outputs"], "what was reported can still be seen"
