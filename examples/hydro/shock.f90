! A shock passes a cloud: gas in one dimension, with 333 species in every cell.
!
!     ./shock surrogate.bin start.txt OUT [cells] [steps] [limit]
!
! A cloud of 1000 cm^-3 and 15 K, and before it gas of 100 cm^-3 and 150 K at the same
! pressure, age for a million years in the light that shines from the left. Then a shock
! of Mach 4 enters from there. OUT is a folder that exists, in which `compare.py` finds
! profiles.txt, tracers.csv (for `astrokeras data import`), tracers.bin and summary.txt.
program shock
  use iso_c_binding
  use astrokeras, only: astrokeras_species, astrokeras_close
  use chemistry
  use flow
  implicit none
  integer, parameter :: wp = c_double, tracers = 20, ages = 10, every = 20
  real(wp), parameter :: pc = 3.0857e18_wp, year = 3.15576e7_wp, boltzmann = 1.380649e-16_wp
  real(wp), parameter :: particles = 0.6_wp          ! per H nucleus, of molecular gas
  real(wp), parameter :: size_pc = 3, thin = 100, dense = 1000, warm = 150, mach = 4
  real(wp), parameter :: courant = 0.8_wp, first_age = 1000
  character(8), parameter :: shown(8) = [character(8) :: 'H', 'H2', 'C+', 'C', 'CO', &
    '#CO', '#H2O', 'E-']
  type(c_ptr) :: handle
  character(:), allocatable :: text
  integer :: cells = 1000, steps = 1000
  real(wp) :: limit = 0.5_wp, dx, dt, years = 0, inflow(3), seconds(2) = 0
  real(wp) :: held, gained = 0, age = first_age
  real(wp), allocatable :: atoms(:, :), x(:, :), carried(:, :), w(:, :), flux(:)
  real(wp), allocatable :: known(:, :), before(:), first(:), totals(:, :), off(:, :)
  real(wp) :: places(tracers), sums(8, tracers), weight = 0
  real(wp), allocatable :: rows(:, :, :), row_times(:)
  real(c_float), allocatable :: expected(:)
  integer(c_int), allocatable :: status(:)
  logical, allocatable :: frozen(:)
  integer, allocatable :: at(:)
  integer :: k, row = 0, states = 0, profiles
  integer(8) :: cell_steps = 0, frozen_steps = 0, clean_steps = 0

  call open_chemistry(word(1), handle, atoms)
  text = word(4)//' '//word(5)//' '//word(6)//' /'    ! what is missing stays as it is
  read (text, *) cells, steps, limit
  dx = size_pc*pc/cells
  call set_up
  open (newunit=states, file=word(3)//'/tracers.bin', access='stream', status='replace')
  open (newunit=profiles, file=word(3)//'/profiles.txt', status='replace')
  at = [(astrokeras_species(handle, shown(k)), k=1, size(shown))]
  write (profiles, '(*(a,1x))') 'time x n v T Av NH2 NCO expected status frozen', &
    pack(shown, at > 0)
  at = pack(at, at > 0)

  do k = 1, ages                                      ! the gas at rest
    call find_parameters(handle, w(1, 1:cells), temperature(), x, dx, known)
    call write_row
    call step_chemistry(age)
    call end_row(age)
    age = 2*age
  end do
  call write_profile
  held = sum(w(1, 1:cells))*dx
  do k = 1, steps
    dt = courant*dx/maxval(abs(w(2, 1:cells)) + sound_speed(w(1, 1:cells), w(3, 1:cells)))
    if (k == 1) dt = courant*dx/(inflow(2) + sound_speed(inflow(1), inflow(3)))
    if (mod(k - 1, every) == 0) call write_row
    call step_gas
    call move_tracers
    call find_parameters(handle, w(1, 1:cells), temperature(), x, dx, known)
    call step_chemistry(dt/year)
    call add_to_row(dt/year)
    if (mod(k, every) == 0 .or. k == steps) call end_row(0.0_wp)
    if (mod(4*k, steps) < 4) call write_profile
  end do
  call write_row
  call write_table
  call write_summary
  call astrokeras_close(handle)

contains

  function word(i) result(text)
    integer, intent(in) :: i
    character(:), allocatable :: text
    character(256) :: argument
    call get_command_argument(i, argument)
    text = trim(argument)
    if (text == '' .and. i <= 3) &
      call say('usage: shock surrogate.bin start.txt OUT [cells] [steps] [limit]')
  end function

  function temperature() result(t)
    real(wp) :: t(cells)
    t = w(3, 1:cells)/(particles*boltzmann*w(1, 1:cells))
  end function

  ! Gas at rest, and the shocked gas that will flow in (Rankine and Hugoniot).
  subroutine set_up
    real(wp) :: c, middle, ratio
    integer :: i
    allocate (w(3, -1:cells + 2), flux(0:cells), x(size(atoms, 2), cells), known(8, cells))
    allocate (carried(4, cells), expected(cells), status(cells), frozen(cells))
    allocate (rows(8, tracers, ages + steps/every + 2), row_times(ages + steps/every + 2))
    do i = -1, cells + 2
      middle = (i - 0.5_wp)/cells                     ! the cloud begins at 8 %
      w(1, i) = thin + 0.5_wp*(dense - thin)*(1 + tanh((middle - 0.08_wp)/0.004_wp))
      w(2, i) = 0
      w(3, i) = particles*thin*boltzmann*warm
    end do
    c = sound_speed(thin, w(3, 1))
    ratio = (gamma + 1)*mach**2/((gamma - 1)*mach**2 + 2)
    inflow = [thin*ratio, mach*c*(1 - 1/ratio), &
              w(3, 1)*(2*gamma*mach**2 - gamma + 1)/(gamma + 1)]
    call read_start(word(2), handle, x(:, 1))
    x = spread(x(:, 1), 2, cells)
    carried = 0
    expected = 0
    status = 0
    frozen = .false.
    first = matmul(atoms, x(:, 1))
    sums = 0
    places = [(size_pc*pc*(0.05_wp + 0.4_wp*i/(tracers - 1)), i=0, tracers - 1)]
  end subroutine

  subroutine step_gas
    real(wp) :: start
    start = clock()
    w(:, -1:0) = spread(inflow, 2, 2)
    w(:, cells + 1:) = spread(w(:, cells), 2, 2)
    before = w(1, 1:cells)
    call move_gas(w, dt/dx, flux)
    call move_species(x, before, w(1, 1:cells), flux, dt/dx, atoms)
    call move_species(carried, before, w(1, 1:cells), flux, dt/dx)
    gained = gained + dt*(flux(0) - flux(cells))
    seconds(1) = seconds(1) + clock() - start
  end subroutine

  subroutine step_chemistry(length)
    real(wp), intent(in) :: length
    real(wp) :: start
    start = clock()
    call react(handle, x, known, length, carried, limit, expected, status, frozen)
    seconds(2) = seconds(2) + clock() - start
    years = years + length
    cell_steps = cell_steps + cells
    frozen_steps = frozen_steps + count(frozen)
    clean_steps = clean_steps + count(status == 0)
  end subroutine

  ! Tracers go with the gas, by the midpoint rule.
  subroutine move_tracers
    integer :: j
    do j = 1, tracers
      places(j) = places(j) + dt*velocity(places(j) + 0.5_wp*dt*velocity(places(j)))
    end do
  end subroutine

  function velocity(place) result(v)
    real(wp), intent(in) :: place
    real(wp) :: v, at
    integer :: i
    at = min(max(place/dx + 0.5_wp, 1.0_wp), real(cells, wp))
    i = min(int(at), cells - 1)
    v = w(2, i) + (at - i)*(w(2, i + 1) - w(2, i))
  end function

  function cell_of(j) result(i)
    integer, intent(in) :: j
    integer :: i
    i = min(max(int(places(j)/dx) + 1, 1), cells)
  end function

  ! A row of the table begins: abundances, expected errors and flags as they are now.
  subroutine write_row
    integer :: j
    row = row + 1
    row_times(row) = years
    do j = 1, tracers
      write (states) real([x(:, cell_of(j)), real(expected(cell_of(j)), wp), &
                           merge(1.0_wp, 0.0_wp, frozen(cell_of(j)))], c_float)
    end do
  end subroutine

  subroutine add_to_row(length)                       ! densities are averaged linearly
    real(wp), intent(in) :: length
    integer :: j
    do j = 1, tracers
      sums(1, j) = sums(1, j) + length*known(1, cell_of(j))
      sums(2:, j) = sums(2:, j) + length*log(known(2:, cell_of(j)))
    end do
    weight = weight + length
  end subroutine

  subroutine end_row(length)
    real(wp), intent(in) :: length
    if (length > 0) call add_to_row(length)
    rows(1, :, row) = sums(1, :)/weight
    rows(2:, :, row) = exp(sums(2:, :)/weight)
    sums = 0
    weight = 0
  end subroutine

  ! One row a tracer and time; its parameters hold until the next one.
  subroutine write_table
    integer :: unit, j, r
    open (newunit=unit, file=word(3)//'/tracers.csv', status='replace')
    write (unit, '(a)') 'Tracer,Time,Density,radfield,Av,gasTemp,dustTemp,zeta,N(H2),N(CO)'
    rows(:, :, row) = rows(:, :, row - 1)
    do j = 1, tracers
      do r = 1, row
        write (unit, '(i0,*(:,",",es15.8))') j, row_times(r), rows(:, j, r)
      end do
    end do
    close (unit)
  end subroutine

  subroutine write_profile
    integer :: i
    real(wp) :: t(cells)
    t = temperature()
    do i = 1, cells
      write (profiles, '(9(es13.5,1x),i0,1x,i0,*(1x,es13.5))') years, (i - 0.5_wp)*dx/pc, &
        w(1, i), w(2, i)/1e5_wp, t(i), known(3, i), known(7:8, i), expected(i), status(i), &
        merge(1, 0, frozen(i)), &
        x(at, i)
    end do
  end subroutine

  subroutine write_summary
    integer :: unit
    totals = element_totals(atoms, x)
    off = abs(totals/spread(first, 2, cells) - 1)
    open (newunit=unit, file=word(3)//'/summary.txt', status='replace')
    write (unit, '(a,es12.4)') 'seconds_of_the_flow ', seconds(1), &
      'seconds_of_the_chemistry ', seconds(2), 'microseconds_a_cell_and_step ', &
      1e6_wp*seconds(2)/cell_steps, 'frozen ', real(frozen_steps, wp)/cell_steps, &
      'reliable ', real(clean_steps, wp)/cell_steps, 'mass_lost ', &
      abs(sum(w(1, 1:cells))*dx/(held + gained) - 1), 'totals_mean ', &
      sum(off)/size(off), 'totals_largest ', maxval(off), 'years ', years, &
      'largest_density ', maxval(w(1, 1:cells)), 'hottest ', maxval(temperature()), &
      'coldest ', minval(temperature())
    write (unit, '(3(a,i0/))') 'cells ', cells, 'steps ', steps, 'rows ', row
    close (unit)
  end subroutine

  function clock() result(s)                          ! seconds of the processor
    real(wp) :: s
    call cpu_time(s)
  end function

end program
