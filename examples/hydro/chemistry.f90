! The chemistry of a row of cells: columns towards the light, parameters, and the step of
! the surrogate. A cell whose step is not to be trusted keeps its abundances.
module chemistry
  use astrokeras
  use iso_c_binding
  use iso_fortran_env, only: error_unit
  implicit none
  private
  public :: open_chemistry, read_start, find_parameters, react, say, parameter_names

  integer, parameter :: wp = c_double
  character(8), parameter :: parameter_names(8) = [character(8) :: 'Density', 'Radfield', &
    'Av', 'gasTemp', 'dustTemp', 'zeta', 'NH2', 'NCO']
  real(wp), parameter :: habing_per_draine = 1.7_wp, mag_cm2 = 5.348e-22_wp
  ! Light of the star, and the gas between it and the first cell: columns in cm^-2.
  real(wp), parameter :: radfield = 3, outside = 1e20_wp, outside_h2 = 1e16_wp
  real(wp), parameter :: outside_co = 1e12_wp, zeta = 1
  integer, parameter :: too_uncertain = 8             ! the bit that `limit` replaces

contains

  ! Ends the program with a line that says why, if there is one.
  subroutine say(message)
    character(*), intent(in) :: message
    if (message == '') return
    write (error_unit, '(a)') trim(message)
    error stop 1
  end subroutine

  subroutine open_chemistry(path, handle, atoms)
    character(*), intent(in) :: path
    type(c_ptr), intent(out) :: handle
    real(wp), allocatable, intent(out) :: atoms(:, :)
    character(256) :: message
    integer :: k, known
    call astrokeras_open(path, handle, message)
    call say(message)
    atoms = astrokeras_atoms(handle)
    known = count([(astrokeras_parameter(handle, parameter_names(k)) > 0, &
                    k=1, size(parameter_names))])
    if (known /= astrokeras_size(handle, 'parameters')) &
      call say(trim(path)//': needs parameters that this example does not know.')
    if (astrokeras_species(handle, 'H2')*astrokeras_species(handle, 'CO') == 0) &
      call say(trim(path)//': has no H2 or CO, whose columns shield.')
  end subroutine

  ! Abundances of the file, a name and a number in each line; other species are at 1e-20.
  subroutine read_start(path, handle, x)
    character(*), intent(in) :: path
    type(c_ptr), intent(in) :: handle
    real(wp), intent(out) :: x(:)
    character(32) :: name
    real(wp) :: value
    integer :: unit, ended, k
    x = 1e-20_wp
    open (newunit=unit, file=path, status='old', action='read', iostat=ended)
    if (ended /= 0) call say(trim(path)//': cannot be opened.')
    do
      read (unit, *, iostat=ended) name, value
      if (ended /= 0) exit
      k = astrokeras_species(handle, name)
      if (k == 0) call say(trim(path)//': the surrogate has no species '//trim(name)//'.')
      x(k) = value
    end do
    close (unit)
  end subroutine

  ! Fills known(8, cells), in the order of parameter_names, from density, temperature and
  ! the columns between the light at the left and the middle of each cell.
  subroutine find_parameters(handle, n, temperature, x, dx, known)
    type(c_ptr), intent(in) :: handle
    real(wp), intent(in) :: n(:), temperature(:), x(:, :), dx
    real(wp), intent(out) :: known(:, :)
    real(wp) :: column(3), half(3)
    integer :: i, h2, co
    h2 = astrokeras_species(handle, 'H2')
    co = astrokeras_species(handle, 'CO')
    column = [outside, outside_h2, outside_co]
    do i = 1, size(n)
      half = 0.5_wp*dx*n(i)*[1.0_wp, x(h2, i), x(co, i)]
      column = column + half
      known(1, i) = n(i)
      known(2, i) = radfield
      known(3, i) = mag_cm2*column(1)
      known(4, i) = temperature(i)
      known(5, i) = dust_temperature(known(3, i))
      known(6, i) = zeta
      known(7:8, i) = column(2:3)
      column = column + half
    end do
  end subroutine

  ! Hocuk et al. (2017, A&A 604, A58), eq. 8.
  elemental function dust_temperature(av) result(t)
    real(wp), intent(in) :: av
    real(wp) :: t
    t = (11 + 5.7_wp*tanh(0.61_wp - log10(av)))*(radfield/habing_per_draine)**(1/5.9_wp)
  end function

  ! Evolves all cells by so many years. A cell keeps its abundances, `frozen`, if its
  ! status has any bit but that of the expected error, or this error is above the limit.
  subroutine react(handle, x, known, years, carried, limit, expected, status, frozen)
    type(c_ptr), intent(in) :: handle
    real(wp), intent(inout) :: x(:, :), carried(:, :)
    real(wp), intent(in) :: known(:, :), years, limit
    real(c_float), intent(out) :: expected(:)
    integer(c_int), intent(out) :: status(:)
    logical, intent(out) :: frozen(:)
    real(wp), allocatable :: p(:, :), kept(:, :), kept_carried(:, :), length(:)
    character(256) :: message
    integer :: i, k, place
    allocate (p(astrokeras_size(handle, 'parameters'), size(x, 2)))
    do k = 1, size(parameter_names)
      place = astrokeras_parameter(handle, parameter_names(k))
      if (place > 0) p(place, :) = known(k, :)
    end do
    allocate (kept, source=x)
    allocate (kept_carried, source=carried)
    allocate (length, source=spread(years, 1, size(x, 2)))
    call astrokeras_evolve(handle, size(x, 2), x, p, length, carried, expected, status, &
                           message)
    call say(message)
    do i = 1, size(x, 2)
      frozen(i) = iand(status(i), not(too_uncertain)) /= 0 .or. .not. expected(i) <= limit
      if (.not. frozen(i)) cycle
      x(:, i) = kept(:, i)
      carried(:, i) = kept_carried(:, i)
      carried(1, i) = carried(1, i) + years          ! its gas grows older all the same
    end do
  end subroutine

end module
