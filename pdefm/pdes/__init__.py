"""What an equation is: its fields, units, parameters and a batched solver; one file an equation."""

from pdefm.registry import Registry

PDES = Registry(
    "pde",
    {
        "allen_cahn": "pdefm.pdes.allen_cahn:AllenCahn",
        "burgers": "pdefm.pdes.burgers:Burgers",
        "gray_scott": "pdefm.pdes.gray_scott:GrayScott",
        "navier_stokes": "pdefm.pdes.navier_stokes:NavierStokes",
    },
)
