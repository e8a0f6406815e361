"""What an equation is: its fields, units, parameters and a batched solver; one file an equation."""

from pdefm.registry import Registry

PDES = Registry(
    "pde",
    {
        "acoustic_wave": "pdefm.pdes.acoustic_wave:AcousticWave",
        "advection_diffusion": "pdefm.pdes.advection_diffusion:AdvectionDiffusion",
        "allen_cahn": "pdefm.pdes.allen_cahn:AllenCahn",
        "buoyant_smoke": "pdefm.pdes.buoyant_smoke:BuoyantSmoke",
        "burgers": "pdefm.pdes.burgers:Burgers",
        "cahn_hilliard": "pdefm.pdes.cahn_hilliard:CahnHilliard",
        "darcy": "pdefm.pdes.darcy:Darcy",
        "darcy_high_contrast": "pdefm.pdes.darcy:DarcyHighContrast",
        "darcy_two_phase": "pdefm.pdes.darcy:DarcyTwoPhase",
        "euler": "pdefm.pdes.euler:Euler",
        "euler_quadrants": "pdefm.pdes.euler_quadrants:EulerQuadrants",
        "euler_walls": "pdefm.pdes.euler_walls:EulerWalls",
        "fisher_kpp": "pdefm.pdes.fisher_kpp:FisherKPP",
        "fitzhugh_nagumo": "pdefm.pdes.fitzhugh_nagumo:FitzHughNagumo",
        "gray_scott": "pdefm.pdes.gray_scott:GrayScott",
        "helmholtz": "pdefm.pdes.helmholtz:Helmholtz",
        "kelvin_helmholtz": "pdefm.pdes.kelvin_helmholtz:KelvinHelmholtz",
        "kolmogorov_flow": "pdefm.pdes.kolmogorov_flow:KolmogorovFlow",
        "korteweg_de_vries": "pdefm.pdes.korteweg_de_vries:KortewegDeVries",
        "kuramoto_sivashinsky": "pdefm.pdes.kuramoto_sivashinsky:KuramotoSivashinsky",
        "lid_driven_cavity": "pdefm.pdes.lid_driven_cavity:LidDrivenCavity",
        "navier_stokes": "pdefm.pdes.navier_stokes:NavierStokes",
        "navier_stokes_compressible": (
            "pdefm.pdes.navier_stokes_compressible:NavierStokesCompressible"
        ),
        "navier_stokes_decaying": "pdefm.pdes.navier_stokes_decaying:NavierStokesDecaying",
        "navier_stokes_random": "pdefm.pdes.navier_stokes_random:NavierStokesRandom",
        "navier_stokes_scalar": "pdefm.pdes.navier_stokes_scalar:NavierStokesScalar",
        "obstacle_flow": "pdefm.pdes.obstacle_flow:ObstacleFlow",
        "poisson": "pdefm.pdes.poisson:Poisson",
        "shallow_water": "pdefm.pdes.shallow_water:ShallowWater",
        "shallow_water_dam_break": "pdefm.pdes.shallow_water_dam_break:ShallowWaterDamBreak",
        "shallow_water_walls": "pdefm.pdes.shallow_water_walls:ShallowWaterWalls",
        "swift_hohenberg": "pdefm.pdes.swift_hohenberg:SwiftHohenberg",
    },
)
