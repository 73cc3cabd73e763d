// Clouds at home: clouds of glass and metal over a small landscape of houses with lit windows, and a lake that mirrors
// them, at night. The camera goes round twice while `clock` runs from 0 to 1, and rises slightly.
// Of our own making. One frame is one job: povray scene.pov +K<clock> +W<width> +H<height> +O<file>
#version 3.7;
global_settings { assumed_gamma 1.0 max_trace_level 7 }

#declare Turn = 2 * 360 * clock;
#declare Rise = clock * clock * (3 - 2 * clock);
#declare Eye = vrotate(<0, 2.3 + 2.3 * Rise, -15.5 + 1.2 * Rise>, y * Turn);
camera {
  location Eye
  look_at <0, 2.35 - 0.3 * Rise, 0>
  right x * image_width / image_height
  angle 58
}

// ---- light ----
#declare Moon = vnormalize(<-0.42, 0.36, 0.85>);
light_source { Moon * 400 color rgb <0.50, 0.60, 0.90> * 0.95 parallel point_at 0 }
light_source { <30, 18, -40> color rgb <0.9, 0.5, 0.65> * 0.16 shadowless }

// ---- sky: stars and a glow at the horizon that the glass picks up ----
sky_sphere {
  pigment {
    gradient y
    color_map {
      [0.00 rgb <0.80, 0.30, 0.14> * 0.48]
      [0.05 rgb <0.40, 0.13, 0.22> * 0.42]
      [0.15 rgb <0.060, 0.042, 0.150>]
      [0.45 rgb <0.012, 0.016, 0.062>]
      [1.00 rgb <0.004, 0.006, 0.026>]
    }
  }
  pigment {
    granite scale 0.011
    color_map {
      [0.00 rgbt 1] [0.755 rgbt 1]
      [0.795 rgbt <0.75, 0.82, 1.0, 0.25>] [1.00 rgbt <1, 1, 0.92, 0>]
    }
  }
}
// The moon itself.
sphere {
  Moon * 300, 10
  pigment { bozo scale 7 turbulence 0.4 color_map { [0.2 rgb <1.0, 0.97, 0.86>] [0.9 rgb <0.62, 0.63, 0.66>] } }
  finish { ambient 0 diffuse 0 emission 1.1 }
  no_shadow
}

// ---- land: a low island of hills round a lake ----
#declare Grass = texture {
  pigment { bozo scale 0.7 turbulence 0.5 color_map { [0 rgb <0.05, 0.11, 0.06>] [1 rgb <0.10, 0.17, 0.08>] } }
  normal { bumps 0.35 scale 0.09 }
  finish { ambient rgb <0.05, 0.06, 0.11> diffuse 0.9 }
}
// Water up to the horizon; the ripples lie down with distance so that the far lake is a mirror, not noise.
plane {
  y, 0
  texture {
    pigment { rgb <0.010, 0.022, 0.045> }
    normal {
      spherical scale 45
      normal_map { [0.15 bumps 0.006 scale 0.02] [0.95 bumps 0.11 scale <0.9, 0.3, 0.35> / 45 turbulence 0.3] }
    }
    finish { ambient 0 diffuse 0.25 reflection { 0.12, 0.92 fresnel on } conserve_energy specular 0.5 roughness 0.004 }
  }
  interior { ior 1.33 }
}

// Each: where (x, z), how wide, how high.
#declare Hills = array[5][4] {
  { -3.6, 1.6, 2.9, 0.85 }, { 2.8, 2.9, 3.4, 1.15 }, { 3.9, -2.0, 2.3, 0.60 }, { -1.2, -3.9, 2.0, 0.45 }, { -0.4, 5.4, 2.6, 0.70 }
}
union {
  #for (I, 0, 4)
    sphere { 0, 1 scale <Hills[I][2], Hills[I][3], Hills[I][2]> translate <Hills[I][0], 0, Hills[I][1]> }
  #end
  texture { Grass }
}
// How high the land is at a place; 0 on the lake.
#macro Ground(X, Z)
  #local Y = 0;
  #for (I, 0, 4)
    #local D = (pow(X - Hills[I][0], 2) + pow(Z - Hills[I][1], 2)) / pow(Hills[I][2], 2);
    #if (D < 1) #local Y = max(Y, Hills[I][3] * sqrt(1 - D)); #end
  #end
  Y
#end

// ---- homes ----
#declare Seed = seed(47);
#declare Plaster = array[4] { <0.62, 0.55, 0.46>, <0.50, 0.52, 0.56>, <0.58, 0.42, 0.34>, <0.46, 0.50, 0.42> };
#declare Roof = array[3] { <0.30, 0.09, 0.06>, <0.13, 0.14, 0.18>, <0.22, 0.12, 0.08> };
#macro Window(At, Lit)
  box {
    <-0.095, -0.12, -0.02>, <0.095, 0.12, 0.02>
    translate At
    #if (Lit)
      pigment { rgb <1.0, 0.68, 0.28> } finish { ambient 0 diffuse 0 emission 1.35 }
    #else
      pigment { rgb <0.03, 0.04, 0.07> } finish { reflection 0.25 }
    #end
  }
#end
#macro Home(X, Z, Facing, Big, Kind)
  union {
    box { <-0.6, -0.5, -0.42>, <0.6, 0.62, 0.42> pigment { rgb Plaster[mod(Kind, 4)] } finish { ambient rgb <0.06, 0.06, 0.10> } }
    prism {
      linear_sweep linear_spline -0.70, 0.70, 4, <-0.56, 0>, <0.56, 0>, <0, 0.52>, <-0.56, 0>
      rotate -90 * x rotate 90 * y translate 0.60 * y
      pigment { rgb Roof[mod(Kind, 3)] } normal { gradient y 0.6 scale 0.08 } finish { ambient rgb <0.05, 0.05, 0.09> }
    }
    box { <0.26, 0.6, -0.1>, <0.42, 1.22, 0.06> pigment { rgb <0.25, 0.13, 0.10> } finish { ambient 0.06 } }
    box { <-0.09, -0.5, -0.44>, <0.09, 0.16, -0.40> pigment { rgb <0.22, 0.11, 0.05> } finish { ambient 0.1 } }
    Window(<-0.36, 0.20, -0.42>, 1)
    Window(< 0.36, 0.20, -0.42>, (rand(Seed) < 0.75))
    Window(<-0.30, 0.20,  0.42>, (rand(Seed) < 0.8))
    Window(< 0.30, 0.20,  0.42>, 1)
    object { Window(<0, 0, 0>, 1) rotate 90 * y translate <-0.60, 0.22, 0> }
    object { Window(<0, 0, 0>, (rand(Seed) < 0.8)) rotate 90 * y translate <0.60, 0.22, 0> }
    scale Big
    rotate Facing * y
    translate <X, Ground(X, Z) + 0.36 * Big, Z>
  }
#end
Home(-4.3, 0.6, -25, 0.85, 0)
Home(-2.4, 1.3, 30, 0.70, 1)
Home(-4.1, 2.6, 140, 0.75, 2)
Home(2.0, 1.8, 10, 0.95, 3)
Home(3.7, 2.6, -35, 0.85, 4)
Home(2.7, 4.3, 170, 0.80, 5)
Home(4.4, -2.3, -70, 0.80, 6)
Home(3.1, -1.7, 205, 0.65, 7)
Home(-1.3, -4.0, 0, 0.72, 8)
Home(-0.6, 5.5, 185, 0.80, 9)
// The warm light that spills from the windows; unshadowed and fading, which is what makes it cheap.
#macro Glow(X, Y, Z) light_source { <X, Y, Z> rgb <1.0, 0.58, 0.22> * 0.8 fade_distance 0.9 fade_power 3 shadowless } #end
Glow(-3.3, 1.3, 0.2)  Glow(2.3, 1.6, 0.7)  Glow(3.4, 1.1, -2.7)  Glow(-1.3, 0.9, -5.0)  Glow(0.9, 1.7, 4.3)

// ---- trees: dark cones, a little silver from the moon ----
#for (N, 1, 70)
  #local P = vrotate(<2.6 + rand(Seed) * 4.2, 0, 0>, rand(Seed) * 360 * y);
  #local Size = 0.5 + rand(Seed) * 0.5;
  #local Y = Ground(P.x, P.z);
  #if (Y > 0.15)
    union {
      cone { 0.05 * y, 0.26, 0.75 * y, 0 }
      cone { 0.40 * y, 0.20, 1.00 * y, 0 }
      cylinder { -0.2 * y, 0.1 * y, 0.05 }
      scale <Size * 0.8, Size, Size * 0.8>
      translate <P.x, Y, P.z>
      pigment { rgb <0.035, 0.085, 0.055> }
      normal { bumps 0.5 scale 0.05 }
      finish { ambient rgb <0.06, 0.07, 0.14> }
    }
  #end
#end

// ---- clouds: one of glass, the others of metal ----
#declare Glass = material {
  texture {
    pigment { rgbf <0.90, 0.96, 1.0, 0.93> }
    finish { ambient 0 diffuse 0.05 specular 0.9 roughness 0.002 reflection { 0.05, 0.9 fresnel on } conserve_energy }
  }
  interior { ior 1.28 fade_distance 2.2 fade_power 2 fade_color <0.35, 0.62, 0.95> }
}
#macro Metal(Tint)
  texture {
    pigment { rgb Tint }
    finish { ambient 0.01 diffuse 0.16 specular 0.9 roughness 0.006 metallic reflection { 0.78 metallic } }
  }
#end
#macro Puffs()
  sphere { <-1.15, 0.00,  0.05>, 0.62 }
  sphere { <-0.45, 0.30,  0.00>, 0.86 }
  sphere { < 0.48, 0.18,  0.10>, 0.74 }
  sphere { < 1.18,-0.05, -0.02>, 0.55 }
  sphere { < 0.10,-0.12, -0.42>, 0.60 }
  sphere { <-0.10,-0.12,  0.48>, 0.58 }
#end
// Flat below, as clouds are.
#macro Cloud(At, Big, Facing)
  intersection {
    union { Puffs() }
    plane { -y, 0.34 }
    scale Big rotate Facing * y translate At
  }
#end
object { merge { Puffs() } material { Glass } scale 1.45 rotate 20 * y translate <0, 4.05, 0> }
object { Cloud(<-4.6, 3.75,  1.8>, 0.92, -30) Metal(<0.86, 0.88, 0.94>) }
object { Cloud(< 4.4, 4.35,  2.4>, 0.98,  35) Metal(<0.96, 0.72, 0.42>) }
object { Cloud(< 2.6, 3.35, -3.9>, 0.72, 100) Metal(<0.92, 0.60, 0.52>) }
object { Cloud(<-3.2, 4.85, -3.3>, 0.66, -75) Metal(<0.70, 0.80, 0.95>) }
object { Cloud(<-0.4, 5.20,  4.6>, 0.80,   5) Metal(<0.88, 0.88, 0.90>) }
