"""WHAT is predicted: inputs, target, loss and metrics of a model step."""

from pdefm.registry import Registry

TASKS = Registry(
    "task",
    {
        "forecasting": "pdefm.tasks.forecasting:ForecastingTask",
        "inverse": "pdefm.tasks.inverse:InverseTask",
        "new_physics": "pdefm.tasks.new_physics:NewPhysicsTask",
        "steady_state": "pdefm.tasks.steady_state:SteadyStateTask",
    },
)
