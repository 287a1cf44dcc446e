! Gas in one dimension: MUSCL-Hancock with HLLC fluxes, and species that move with the gas.
!
! Densities n are in H nuclei cm^-3, lengths in cm, times in s, pressures in erg cm^-3. A
! cell's abundances q are relative to H nuclei, so that n q is what a volume holds.
module flow
  use iso_c_binding, only: wp => c_double
  implicit none
  private
  public :: move_gas, move_species, sound_speed, element_totals, mass, gamma

  real(wp), parameter :: mass = 1.4_wp*1.6735e-24_wp  ! of the gas, g per H nucleus
  real(wp) :: gamma = 1.1_wp                          ! adiabatic index

contains

  elemental function sound_speed(n, p) result(c)
    real(wp), intent(in) :: n, p
    real(wp) :: c
    c = sqrt(gamma*p/(mass*n))
  end function

  ! Slope between neighbours (van Leer 1974): zero at extrema.
  elemental function slope(left, right) result(s)
    real(wp), intent(in) :: left, right
    real(wp) :: s
    s = 0
    if (left*right > 0) s = 2*left*right/(left + right)
  end function

  ! Moves gas by a step. w(1:3, -1:cells+2) is n, v, p, with two cells beyond each end;
  ! flux(0:cells) is the number of nuclei that crosses each face, cm^-2 s^-1.
  subroutine move_gas(w, ratio, flux)
    real(wp), intent(inout) :: w(:, -1:)
    real(wp), intent(in) :: ratio                     ! time step over cell size, s/cm
    real(wp), intent(out) :: flux(0:)
    real(wp), allocatable :: edge(:, :, :), f(:, :)
    real(wp) :: d(3), half(3), u(3)
    integer :: i, cells
    cells = ubound(flux, 1)
    allocate (edge(3, 2, 0:cells + 1), f(3, 0:cells))
    do i = 0, cells + 1                               ! states at both faces, half a step on
      d = slope(w(:, i) - w(:, i - 1), w(:, i + 1) - w(:, i))
      half(1) = w(2, i)*d(1) + w(1, i)*d(2)
      half(2) = w(2, i)*d(2) + d(3)/(mass*w(1, i))
      half(3) = w(2, i)*d(3) + gamma*w(3, i)*d(2)
      edge(:, 1, i) = w(:, i) - 0.5_wp*(ratio*half + d)
      edge(:, 2, i) = w(:, i) - 0.5_wp*(ratio*half - d)
      if (any(edge([1, 3], :, i) <= 0)) edge(:, :, i) = spread(w(:, i), 2, 2)
    end do
    do i = 0, cells
      f(:, i) = hllc(edge(:, 2, i), edge(:, 1, i + 1))
    end do
    do i = 1, cells
      u = conserved(w(:, i)) - ratio*(f(:, i) - f(:, i - 1))
      w(1, i) = u(1)
      w(2, i) = u(2)/(mass*u(1))
      w(3, i) = (gamma - 1)*(u(3) - 0.5_wp*u(2)*w(2, i))
    end do
    flux = f(1, :)
  end subroutine

  ! Nuclei, momentum and energy in a cm^3.
  pure function conserved(w) result(u)
    real(wp), intent(in) :: w(3)
    real(wp) :: u(3)
    u = [w(1), mass*w(1)*w(2), w(3)/(gamma - 1) + 0.5_wp*mass*w(1)*w(2)**2]
  end function

  pure function physical_flux(w) result(f)
    real(wp), intent(in) :: w(3)
    real(wp) :: f(3), u(3)
    u = conserved(w)
    f = [u(1)*w(2), u(2)*w(2) + w(3), (u(3) + w(3))*w(2)]
  end function

  ! Flux between two states (Toro, Spruce & Speares 1994, Shock Waves 4, 25).
  pure function hllc(l, r) result(f)
    real(wp), intent(in) :: l(3), r(3)
    real(wp) :: f(3), cl, cr, sl, sr, sm, ml, mr
    cl = sound_speed(l(1), l(3))
    cr = sound_speed(r(1), r(3))
    sl = min(l(2) - cl, r(2) - cr)
    sr = max(l(2) + cl, r(2) + cr)
    ml = mass*l(1)*(sl - l(2))
    mr = mass*r(1)*(sr - r(2))
    sm = (r(3) - l(3) + ml*l(2) - mr*r(2))/(ml - mr)
    if (sl >= 0) then
      f = physical_flux(l)
    else if (sr <= 0) then
      f = physical_flux(r)
    else if (sm >= 0) then
      f = physical_flux(l) + sl*(between(l, sl, sm) - conserved(l))
    else
      f = physical_flux(r) + sr*(between(r, sr, sm) - conserved(r))
    end if
  end function

  pure function between(w, s, sm) result(u)
    real(wp), intent(in) :: w(3), s, sm
    real(wp) :: u(3), given(3), n
    given = conserved(w)
    n = w(1)*(s - w(2))/(s - sm)
    u(1) = n
    u(2) = mass*n*sm
    u(3) = n*(given(3)/w(1) + (sm - w(2))*(mass*sm + w(3)/(w(1)*(s - w(2)))))
  end function

  ! Moves what belongs to the gas, q(numbers, cells), with the nuclei that cross each
  ! face: `before` and `after` are densities before and after the step. What flows in is
  ! like the cell at the end. With atoms(elements, numbers), q are abundances, and each
  ! element moves as if it were one species.
  subroutine move_species(q, before, after, flux, ratio, atoms)
    real(wp), intent(inout) :: q(:, :)
    real(wp), intent(in) :: before(:), after(:), flux(0:), ratio
    real(wp), intent(in), optional :: atoms(:, :)
    real(wp), allocatable :: face(:, :), totals(:, :)
    integer :: f, i, cells
    logical :: done
    cells = size(q, 2)
    allocate (face(size(q, 1), 0:cells))
    if (present(atoms)) allocate (totals, source=element_totals(atoms, q))
    do f = 0, cells
      face(:, f) = at_face(q, before, flux(f), ratio, f)
      if (.not. present(atoms)) cycle
      call restore(atoms, at_face(totals, before, flux(f), ratio, f), face(:, f), done)
      if (.not. done) face(:, f) = q(:, upwind(flux(f), f, cells))
    end do
    do i = 1, cells
      q(:, i) = (before(i)*q(:, i) - ratio*(flux(i)*face(:, i) &
                                            - flux(i - 1)*face(:, i - 1)))/after(i)
    end do
  end subroutine

  ! The element totals of abundances, (elements, cells).
  pure function element_totals(atoms, q) result(totals)
    real(wp), intent(in) :: atoms(:, :), q(:, :)
    real(wp) :: totals(size(atoms, 1), size(q, 2))
    totals = matmul(atoms, q)
  end function

  pure function upwind(flux, f, cells) result(u)
    real(wp), intent(in) :: flux
    integer, intent(in) :: f, cells
    integer :: u
    u = min(max(merge(f, f + 1, flux >= 0), 1), cells)
  end function

  ! The mean of q in what crosses face f: its upwind cell, with a limited slope. The share
  ! of the cell's nuclei that leaves it takes the part of the courant number, so that no
  ! abundance becomes negative.
  pure function at_face(q, n, flux, ratio, f) result(face)
    real(wp), intent(in) :: q(:, :), n(:), flux, ratio
    integer, intent(in) :: f
    real(wp) :: face(size(q, 1)), reach
    integer :: u, cells
    cells = size(n)
    u = upwind(flux, f, cells)
    face = q(:, u)
    if (u == 1 .or. u == cells) return
    reach = 0.5_wp*sign(1 - abs(flux)*ratio/n(u), flux)
    face = face + reach*slope(q(:, u) - q(:, u - 1), q(:, u + 1) - q(:, u))
  end function

  ! Gives abundances the element totals that are wanted: x (1 + sum of a_e d_e), with
  ! the numbers d_e of the elements that solve this, one linear system. Plewa & Mueller
  ! (1999, A&A 342, 179) have one factor for all; molecules need one for each element
  ! (Glover et al. 2010, MNRAS 404, 2).
  subroutine restore(atoms, wanted, x, done)
    real(wp), intent(in) :: atoms(:, :), wanted(:)
    real(wp), intent(inout) :: x(:)
    logical, intent(out) :: done
    real(wp) :: a(size(wanted), size(wanted)), d(size(wanted)), change(size(x))
    integer :: e, g, k, n
    n = size(wanted)
    a = 0
    do k = 1, size(x)
      do e = 1, n
        if (atoms(e, k) > 0) a(e:, e) = a(e:, e) + atoms(e, k)*x(k)*atoms(e:, k)
      end do
    end do
    d = wanted - matmul(atoms, x)
    done = all(abs(d) <= 1e-13_wp*wanted)
    if (done) return
    do e = 1, n                                       ! Cholesky: a is symmetric
      do g = 1, e - 1
        a(e:, e) = a(e:, e) - a(e, g)*a(e:, g)
      end do
      if (.not. a(e, e) > 0) return
      a(e:, e) = a(e:, e)/sqrt(a(e, e))
      d(e) = (d(e) - dot_product(a(e, :e - 1), d(:e - 1)))/a(e, e)
    end do
    do e = n, 1, -1
      d(e) = (d(e) - dot_product(a(e + 1:, e), d(e + 1:)))/a(e, e)
    end do
    change = matmul(d, atoms)
    done = all(abs(change) < 0.5_wp)
    if (done) x = x*(1 + change)
  end subroutine

end module
