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
